"""What an operator writes: the documents, how they are loaded and checked. Pure: takes bytes, returns documents or errors."""
