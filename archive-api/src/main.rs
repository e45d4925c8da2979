//! The program `vellum`.

fn main() {}
