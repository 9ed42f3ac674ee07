"""What a person sees in a terminal. The only room that knows rich."""
