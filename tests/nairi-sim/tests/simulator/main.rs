//! The simulator under test, through real HTTP.

mod connections;
mod control;
mod documented;
mod faults;
mod program;
mod requests;
mod switches;
mod world;
