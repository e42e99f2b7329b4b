"""The law of the transformed label: transforms, quadrature, measures for the resolvents."""
