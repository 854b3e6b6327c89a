package network

import "context"

// client is a conversation with servers or routers that runs on one link: DHCPv4, DHCPv6 or router discovery. It tells
// the loop what it heard, and shares nothing with it but this channel.
type client struct {
	link  int // the index of the link
	ctx   context.Context
	stop  context.CancelFunc
	out   chan<- said
	ended chan struct{} // closed when the client has ended
}

// said is what a client has to say: a *lease4, a *lease6, an advert or a remark.
type said struct {
	from *client
	what any
}

// remark is a sentence for the person at the console.
type remark string

// say sends what the client heard to the loop, unless the client has been stopped.
func (c *client) say(what any) {
	select {
	case c.out <- said{c, what}:
	case <-c.ctx.Done():
	}
}
