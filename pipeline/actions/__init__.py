"""What a workflow tells GitHub: summary, alert, pull request. Standard library only, for runners without installs."""
