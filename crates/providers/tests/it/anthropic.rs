//! What is Messages' own: its bodies, the marks of its cache, a client's own request, its limits, and its provider
//! against a loopback server. Its golden streams are run by `decode` and `hostile`.

mod encode;
mod hostile;
mod http;
mod verbatim;
