// Package inflate reads gzip files (RFC 1952) and the DEFLATE streams in them (RFC 1951). It writes neither.
//
// Nearly all layers of images are gzip files, and inflating them takes more CPU time than any other step between a
// registry and a booted root. So this package does it in the way that is fast on machines with 64-bit words: it loads
// eight bytes of the stream at a time, looks into a table once for nearly every symbol, and copies by words. It reads
// what compress/gzip of the standard library reads, about two and a half times as fast. A damaged file is an error,
// as it is there.
//
// A parallel reader decodes a file on several processors, in two stages, as pugz (arXiv 1905.07224) and rapidgzip (arXiv
// 2308.08955) do: parts of the file are decoded before it is known what comes before them, and completed when it is.
package inflate
