"""Health, models and the API's description."""
