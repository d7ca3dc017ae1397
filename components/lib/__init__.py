"""What two or more stages share; knows no stage and no kfp."""
