//! The commands as an operator types them: processes, exit codes, files.
mod demo;
mod init;
mod leaks;
mod production;
mod serve;
mod support;
mod verify;
