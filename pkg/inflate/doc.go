// Package inflate reads gzip files (RFC 1952) and the DEFLATE streams in them (RFC 1951). It writes neither.
//
// Nearly all layers of images are gzip files, and inflating is the dearest step on the way from a registry to a booted
// root. So it is here, in the form that is fast on machines with 64-bit words: eight bytes of the stream at hand at a time,
// one look into a table for nearly every symbol, copies by words. It reads what compress/gzip of the standard library reads,
// about two and a half times as fast as that; what it makes of a damaged file is an error, here as there.
package inflate
