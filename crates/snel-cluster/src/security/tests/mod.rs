//! A real server and real clients on loopback; the service is gRPC's health check.

mod follow;
mod pki;
mod refuse;
mod running;
mod settings;
mod stall;
mod token;
