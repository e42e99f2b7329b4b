"""The law of the transformed label: transforms, quadrature, the measure that resolvents see."""
