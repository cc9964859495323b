"""The only part that walks folders, hashes files and makes links."""
