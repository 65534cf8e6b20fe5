"""What a run tells about itself: the pages in its folder, and the last lines on the terminal."""
