// Package imagetest builds small container images for tests and serves them from an in-memory registry that can inject
// faults. Images follow the OCI image specification (https://github.com/opencontainers/image-spec) or docker's schema
// 2; some are built byte by byte, so that they are invalid in one point. The package is only for tests.
package imagetest
