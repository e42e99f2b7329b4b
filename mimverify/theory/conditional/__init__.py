"""The hidden features given the label: conditional moments, information, optimal T."""
