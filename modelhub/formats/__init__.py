"""What a file says about itself. Headers only; nothing is ever executed or unpickled."""
