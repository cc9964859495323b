"""What a user can ask for. Every door calls only this."""
