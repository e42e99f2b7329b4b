"""What a label says about the hidden features: conditional moments, information, optimal T."""
