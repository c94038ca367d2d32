//! A simulator of the Nairi API.
