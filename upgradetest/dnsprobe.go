package upgradetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSQuery returns a prober that asks the server at address (host:port, UDP) for
// the IPv4 addresses of name, on a new socket each time, once. An answer without an
// address is a failure of class dns.
func DNSQuery(address, name string) (Prober, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("probing DNS at %q: %w", address, err)
	}
	if len(name) == 0 || name[len(name)-1] != '.' {
		name += "."
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("probing DNS for %q: %w", name, err)
	}
	return &dnsProber{address: address, name: n}, nil
}

type dnsProber struct {
	address string
	name    dnsmessage.Name
}

// Close implements Prober.
func (d *dnsProber) Close() {}

// Probe implements Prober.
func (d *dnsProber) Probe(ctx context.Context, p *Probe) {
	code, err := d.ask(ctx, p)
	if err != nil {
		p.Class, p.Detail = classify(err)
		return
	}
	p.Status = int(code)
	if code != dnsmessage.RCodeSuccess {
		p.Class, p.Detail = DNS, code.String()
	}
}

var errNoAddress = errors.New("the answer holds no address")

func (d *dnsProber) ask(ctx context.Context, p *Probe) (dnsmessage.RCode, error) {
	raw, err := dialer.DialContext(ctx, "udp", d.address)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	id := uint16(rand.Uint32())
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: d.name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packet, err := query.Pack()
	if err != nil {
		return 0, err
	}
	if _, err := raw.Write(packet); err != nil {
		return 0, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := raw.Read(buf)
		if err != nil {
			return 0, err
		}
		p.FirstByte = time.Since(p.Begin)
		code, mine, err := parseAnswer(buf[:n], id)
		if mine || err != nil {
			return code, err
		}
	}
}

// parseAnswer reads an answer to query id. mine is false for any other packet.
func parseAnswer(packet []byte, id uint16) (code dnsmessage.RCode, mine bool, err error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil || header.ID != id || !header.Response {
		return 0, false, nil
	}
	if header.RCode != dnsmessage.RCodeSuccess {
		return header.RCode, true, nil
	}
	if err := parser.SkipAllQuestions(); err != nil {
		return 0, true, &net.DNSError{Err: err.Error()}
	}
	for {
		answer, err := parser.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return 0, true, &net.DNSError{Err: errNoAddress.Error()}
		}
		if err != nil {
			return 0, true, &net.DNSError{Err: err.Error()}
		}
		if answer.Type == dnsmessage.TypeA {
			return header.RCode, true, nil
		}
		if err := parser.SkipAnswer(); err != nil {
			return 0, true, &net.DNSError{Err: err.Error()}
		}
	}
}
