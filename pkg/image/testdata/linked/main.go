// Command linked is linked by a test that looks at what package image costs a program.
package main

import (
	"context"
	"io"
	"log"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

func main() {
	img, err := new(image.Source).Resolve(context.Background(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range img.Layers {
		rc, err := l.Open(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rc); err != nil {
			log.Fatal(err)
		}
	}
}
