"""Images from folders, archives and the packages we depend on."""
