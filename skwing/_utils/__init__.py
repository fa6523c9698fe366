"""What every other part of the package uses: checks, layouts, files, random numbers, warnings."""
