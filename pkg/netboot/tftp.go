package netboot

import (
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/pin/tftp/v3"
)

// newTFTP returns a server for the site that takes no files.
func (s *Site) newTFTP(logf func(string, ...any)) *tftp.Server {
	t := tftp.NewServer(func(asked string, to io.ReaderFrom) error {
		from := to.(tftp.OutgoingTransfer).RemoteAddr()
		name := clean(asked)
		f, err := s.open(name)
		if errors.Is(err, fs.ErrNotExist) {
			// PXELINUX asks for a file by its UUID, its address and so on before the default: no news.
			return errors.New("no such file")
		}
		if err != nil {
			logf("tftp: %v", err)
			return errors.New("cannot read it now")
		}
		defer f.Close()
		logf("tftp: %s fetches %s", from.String(), name)
		begin := time.Now()
		n, err := to.ReadFrom(f)
		if err != nil {
			// Firmware asks for a file to learn its size, and then breaks off. That is no failure either.
			logf("tftp: %s broke off %s: %v", from.String(), name, err)
			return err
		}
		logf("tftp: %s has %s, %d bytes in %v", from.String(), name, n, time.Since(begin).Round(10*time.Millisecond))
		return nil
	}, nil)
	// Lock-step: what gets lost costs one timeout. The library's 5 s would be felt.
	t.SetTimeout(time.Second)
	t.SetRetries(10)
	return t
}
