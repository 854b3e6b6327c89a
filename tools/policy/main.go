// Policy writes the policy that asks for a signature by one of some keys, for every image.
//
// Synopsis:
//
//	policy FILE...
//
// Description:
//
//	Each FILE is a public key in PEM form, such as the cosign.pub that cosign generate-key-pair writes. The policy,
//	in the syntax of containers-policy.json(5), goes to standard output. The same keys give the same bytes.
//
// Example:
//
//	policy a.pub b.pub >policy.json
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		log.Fatalf("policy: %v", err)
	}
}

func run(w io.Writer, files []string) error {
	if len(files) == 0 {
		//lint:ignore ST1005 a usage line ends in dots on purpose
		return errors.New("usage: policy FILE...")
	}
	var keys [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := policy.Document(text); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, text)
	}
	document, err := policy.Document(keys...)
	if err != nil {
		return err
	}
	_, err = w.Write(document)
	return err
}
