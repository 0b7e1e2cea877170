package postgrestest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
)

// message is one message of either direction.
type message struct {
	kind byte
	body []byte
}

func receive(from *bufio.Reader) (m message, err error) {
	var head [5]byte
	if _, err = io.ReadFull(from, head[:]); err != nil {
		return m, err
	}
	m.kind, m.body = head[0], make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(from, m.body)
	return m, err
}

// send buffers a message. An error stays in the writer, and shows when it is flushed.
func send(to *bufio.Writer, m message) {
	head := binary.BigEndian.AppendUint32([]byte{m.kind}, uint32(len(m.body)+4))
	_, _ = to.Write(head)
	_, _ = to.Write(m.body)
}

// text reads a string that ends with a zero, and returns what is after it.
func text(body []byte) (string, []byte) {
	s, rest, _ := bytes.Cut(body, []byte{0})
	return string(s), rest
}

func parse(statement string) message {
	return message{'P', append(append([]byte{0}, statement...), 0, 0, 0)}
}
