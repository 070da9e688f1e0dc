//! Writes Levi's test vectors, `docs/vectors/*.json` (or into the folder given as argument).
//!
//! The output is always the same, because all randomness has a fixed seed. A test compares the
//! files with it, so a format cannot change without its vectors.

mod files;

fn main() -> files::writer::Made<()> {
    files::writer::write(files::all()?)
}
