//! The doors of Vellum: protocol in, protocol out, no decisions of their own.
