//! The `chancery` command.

/// glibc's took a seventh of the time of a request through the gateway (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    chancery::main()
}
