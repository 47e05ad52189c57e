"""Sets of the newest servers, in the directory that AOFDOCTOR_SHARED names, or in ../shared: tests work on copies."""
