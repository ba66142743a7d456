"""What an operator writes: documents, how they are loaded and checked. Pure: bytes in, documents or errors out."""
