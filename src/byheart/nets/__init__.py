"""Small networks that methods and studies bring with them."""
