"""One giant step: claims of Damian, Lee, Soltanolkotabi (2022), arXiv:2206.15144."""
