"""From the source to a stack on AWS: template, package, commands. Nothing here ships."""
