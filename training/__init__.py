"""The training line: data -> splits -> model -> train -> evaluate -> publish."""
