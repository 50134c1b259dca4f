//! The SDK's 0.1 line declares its imports without a module to take them from;
//! compilers of today only link such a thing when told to.
fn main() {
    println!("cargo:rustc-link-arg-cdylib=--allow-undefined");
}
