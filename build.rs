//! Tells Cargo which folders are compiled into the binary.
fn main() {
    ["migrations", "static", "templates", "models"]
        .iter()
        .for_each(|folder| println!("cargo:rerun-if-changed={folder}"));
}
