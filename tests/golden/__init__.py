"""Files that earlier versions left, how they are made, and what a later version is held against."""
