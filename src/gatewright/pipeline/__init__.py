"""The life of an exchange: phases, filters, matching, targets, attempts, and the snapshot they are compiled into."""
