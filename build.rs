//! Tells Cargo which folders are compiled into the binary.
fn main() {
    for folder in ["migrations", "static", "templates", "models"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
