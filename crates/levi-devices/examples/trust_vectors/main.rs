//! Writes the test vectors of the device list and of messages in version 2, into `docs/vectors` (or into the folder given
//! as argument).
//!
//! The output is always the same, because all randomness has a fixed seed. A test compares the files with it, so a
//! format cannot change without its vectors.

use std::error::Error;
use std::path::PathBuf;

mod files;

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors");
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| default.into()));
    std::fs::create_dir_all(&folder)?;
    for (name, text) in files::all()? {
        std::fs::write(folder.join(name), text)?;
        println!("{name}");
    }
    Ok(())
}
