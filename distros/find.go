package distros

// Stream returns a stream by name, or nil.
func (d *Distribution) Stream(name string) *Stream {
	for i := range d.Streams {
		if d.Streams[i].Name == name {
			return &d.Streams[i]
		}
	}
	return nil
}

// Channel returns a channel by name, or nil.
func (d *Distribution) Channel(name string) *Channel {
	for i := range d.Channels {
		if d.Channels[i].Name == name {
			return &d.Channels[i]
		}
	}
	return nil
}
