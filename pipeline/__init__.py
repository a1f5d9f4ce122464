"""The daily line: feeds -> headlines -> linked -> deduplicated -> scored -> aggregated -> validated -> stored."""
