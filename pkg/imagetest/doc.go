// Package imagetest builds small container images for tests, byte by byte where that is the point, and serves them
// from an in-memory registry which can be told to misbehave. Images follow the OCI image specification
// (https://github.com/opencontainers/image-spec) or docker's schema 2. Nothing of it belongs in a shipped command.
package imagetest
