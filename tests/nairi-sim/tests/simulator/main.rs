//! The simulator under test, through real HTTP.

mod documented;
mod world;
