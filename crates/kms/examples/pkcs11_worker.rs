//! The command that [`chancery_kms::pkcs11::Worker`] starts, for tests. The server's own is `chancery pkcs11-worker`.

use std::io;

fn main() -> io::Result<()> {
    // For a test: a worker that hangs as long as a file is there.
    while std::env::var_os("HANG_WHILE").is_some_and(|path| std::path::Path::new(&path).exists()) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    chancery_kms::pkcs11::serve(io::stdin(), io::stdout().lock())
}
