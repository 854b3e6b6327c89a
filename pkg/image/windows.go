package image

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Registries and the storage behind them often limit each connection, to 20 to 100 MB/s. So a large blob is requested
// in windows, by several connections at once, and read in order.
const (
	largeBlob      = 32 << 20 // what is not larger is one request
	mostWindows    = 16       // connections for all blobs of a Source
	mostAhead      = 64 << 20 // bytes of all blobs of a Source that have arrived and wait to be read
	firstWindow    = 4 << 20
	largestWindow  = 16 << 20
	smallestWindow = 1 << 20
	measured       = 300 * time.Millisecond // how long a number of connections is tried before it is judged
	judged         = 10 * time.Second       // how long that holds
)

// errNoRanges is the failure of a window whose registry does not send parts of blobs.
var errNoRanges = errors.New("no parts of blobs")

// windows reads a blob by several connections. What a connection brings before it is its turn waits in memory.
type windows struct {
	ctx    context.Context // of the windows
	cancel context.CancelFunc
	outer  context.Context // the context given to open
	source *Source
	digest v1.Hash
	size   int64
	wait   sync.WaitGroup // for the windows

	mu       sync.Mutex
	changed  *sync.Cond
	places   places    // where to ask
	used     places    // where bytes have come from
	queue    []*window // in order, the first being the one that is read
	spare    [][]byte
	offset   int64 // how much has been read
	next     int64 // where the next window begins
	want     int   // how many connections there should be
	noRanges bool
	stream   *blob // not nil: what comes from offset on comes from it
	closed   bool

	// For adapt: since when, how many bytes have arrived and how long the reader had to wait for them.
	since    time.Time
	arrived  int64
	starved  time.Duration
	raised   int       // periods since the number of connections was raised; 0: it is not on trial
	before   float64   // bytes per second before it was raised
	keepTill time.Time // until when it stays
}

// A window is a part of a blob.
type window struct {
	buf  []byte
	n    int // how much of buf has arrived
	read int // how much of it has been read
	err  error
}

// newWindows returns a reader of a blob whose first window is to come from b, which is connected.
func newWindows(ctx context.Context, b *blob) *windows {
	s := b.registry.source
	w := &windows{
		outer: ctx, source: s, digest: b.digest, size: b.size, want: 2, since: time.Now(),
		places: append(places{b.registry.place}, b.next...), used: b.used,
	}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.changed = sync.NewCond(&w.mu)
	w.mu.Lock()
	defer w.mu.Unlock()
	s.takeWindow(b.end, true)
	w.start(b, b.end)
	return w
}

// takeWindow takes one of the connections and n bytes of the memory that all blobs share, and reports whether that was
// possible. first is for the only window of a blob, which is always possible.
func (s *Source) takeWindow(n int64, first bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !first && (s.windows >= mostWindows || s.ahead+n > s.mostAhead()) {
		return false
	}
	s.windows++
	s.ahead += n
	return true
}

// releaseConnection and releaseMemory give back what takeWindow took.
func (s *Source) releaseConnection() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows--
}

func (s *Source) releaseMemory(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead -= n
}

func (s *Source) mostAhead() int64 {
	if s.Ahead != nil {
		return min(s.Ahead(), mostAhead)
	}
	return mostAhead
}

// canWait reports whether there is memory for parts of a blob that arrive before their turn.
func (s *Source) canWait() bool { return s.mostAhead() >= 2*smallestWindow }

// firstSize returns the size of a window as long as the number of connections is not found.
func (s *Source) firstSize() int64 { return max(smallestWindow, min(firstWindow, s.mostAhead()/2)) }

// start has b fetch the next n bytes into a window. w.mu is locked.
func (w *windows) start(b *blob, n int64) {
	win := &window{buf: w.buffer(int(n))}
	w.queue = append(w.queue, win)
	w.next += n
	b.ctx = w.ctx
	b.failing = w.slowDown
	w.wait.Go(func() {
		err := w.fill(b, win)
		w.source.releaseConnection()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.used = append(w.used, b.used...)
		win.err = err
		w.noRanges = w.noRanges || errors.Is(err, errNoRanges)
		w.changed.Broadcast()
	})
}

// buffer returns memory for n bytes. w.mu is locked.
func (w *windows) buffer(n int) []byte {
	for i, b := range w.spare {
		if cap(b) >= n {
			w.spare = slices.Delete(w.spare, i, i+1)
			return b[:n]
		}
	}
	w.spare = nil
	return make([]byte, n)
}

// fill reads the whole of a window.
func (w *windows) fill(b *blob, win *window) error {
	defer b.Close()
	for at := 0; at < len(win.buf); {
		n, err := b.Read(win.buf[at:min(len(win.buf), at+256<<10)])
		at += n
		w.mu.Lock()
		win.n = at
		w.arrived += int64(n)
		w.changed.Broadcast()
		w.mu.Unlock()
		if err != nil && at < len(win.buf) {
			return unexpected(err)
		}
	}
	return nil
}

// launch starts windows until there are as many as there should be. w.mu is locked.
func (w *windows) launch() {
	for running := w.running(); running < w.want && w.next < w.size && !w.noRanges; running++ {
		n := min(w.windowSize(), w.size-w.next)
		if !w.source.takeWindow(n, len(w.queue) == 0) {
			return
		}
		b := &blob{
			ctx: w.ctx, next: slices.Clone(w.places), digest: w.digest, size: w.size,
			offset: w.next, resumed: w.next, end: w.next + n, piece: true,
		}
		w.start(b, n)
	}
}

// running returns how many windows are not complete. w.mu is locked.
func (w *windows) running() (n int) {
	for _, win := range w.queue {
		if win.n < len(win.buf) && win.err == nil {
			n++
		}
	}
	return n
}

// windowSize is larger when the number of connections has been found, and is small: each window costs a request, and
// all windows have mostAhead bytes.
func (w *windows) windowSize() int64 {
	if w.raised > 0 || w.next < largeBlob && time.Now().After(w.keepTill) {
		return w.source.firstSize()
	}
	return max(smallestWindow, min(largestWindow, w.source.mostAhead()/int64(max(w.want, 4))))
}

func (w *windows) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.stream != nil:
			n, err := w.stream.Read(p)
			w.offset += int64(n)
			return n, err
		case w.offset >= w.size:
			return 0, io.EOF
		case w.noRanges, len(w.queue) == 0 && !w.source.canWait():
			if err := w.single(); err != nil {
				return 0, err
			}
			continue
		}
		w.adapt(time.Now())
		w.launch()
		win := w.queue[0]
		if n := copy(p, win.buf[win.read:win.n]); n > 0 {
			win.read += n
			w.offset += int64(n)
			if win.read == len(win.buf) {
				w.done(win)
			}
			return n, nil
		}
		if win.err != nil {
			return 0, win.err
		}
		begin := time.Now()
		w.changed.Wait()
		w.starved += time.Since(begin)
	}
}

// done removes the first window, which has been read. w.mu is locked.
func (w *windows) done(win *window) {
	w.queue = w.queue[1:]
	w.spare = append(w.spare, win.buf)
	w.source.releaseMemory(int64(len(win.buf)))
}

// adapt raises the number of connections while the reader waits for bytes and more connections bring more of them.
// w.mu is locked.
func (w *windows) adapt(now time.Time) {
	period := now.Sub(w.since)
	if period < measured {
		return
	}
	rate := float64(w.arrived) / period.Seconds()
	hungry := w.starved > period/4
	w.since, w.arrived, w.starved = now, 0, 0
	switch {
	case w.raised == 1: // in this period they were connecting
		w.raised++
	case w.raised > 1 && hungry && rate < 1.15*w.before:
		w.want, w.raised, w.keepTill = max(1, w.want/2), 0, now.Add(judged)
	case hungry && w.want < mostWindows && now.After(w.keepTill):
		w.want, w.raised, w.before = min(2*w.want, mostWindows), 1, rate
	default:
		w.raised = 0
	}
}

// slowDown halves the number of connections: some servers refuse a request while too many others run.
func (w *windows) slowDown() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want, w.raised, w.keepTill = max(1, w.want/2), 0, time.Now().Add(judged)
}

// single has the rest of the blob come by one connection, from a registry that does not send parts of blobs, or because
// there is no memory for more. w.mu is locked.
func (w *windows) single() error {
	w.end()
	w.stream = &blob{
		ctx: w.outer, next: w.places, digest: w.digest, size: w.size, end: w.size, offset: w.offset, resumed: w.offset,
	}
	if err := w.stream.move(nil); err != nil {
		return err
	}
	w.used = append(w.used, w.stream.used...)
	return nil
}

// end ends all windows. w.mu is locked, and is not while the windows end.
func (w *windows) end() {
	w.cancel()
	w.mu.Unlock()
	w.wait.Wait()
	w.mu.Lock()
	for _, win := range w.queue {
		w.source.releaseMemory(int64(len(win.buf)))
	}
	w.queue, w.spare = nil, nil
}

// wrong returns the error for wrong bytes of the blob, which err describes. It is read in one piece the next time.
func (w *windows) wrong(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.source.oneStream(w.digest)
	return wrongBytes(w.source, w.used, w.digest, err)
}

func (w *windows) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.end()
	if w.stream != nil {
		return w.stream.Close()
	}
	return nil
}
