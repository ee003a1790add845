package graphdata

import (
	"bytes"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/slipway-release/slipway/internal/config"
)

const fixedInField = "fixedIn"

// withFixedIn is the file of a block or a risk with one field set, and all else as people
// wrote it, comments too. One that is written so that a line cannot be put into it is
// written anew, by marshal.
func withFixedIn[T interface{ Marshal() ([]byte, error) }](data []byte, version string, marshal func() ([]byte, error)) ([]byte, error) {
	want, err := marshal()
	if err != nil {
		return nil, err
	}
	edited, ok := setFixedIn(data, version)
	if !ok {
		return want, nil
	}
	var after T
	var decoder config.Decoder
	decoder.Decode(edited, &after)
	if len(decoder.Problems) > 0 {
		return want, nil
	}
	if got, err := after.Marshal(); err != nil || !bytes.Equal(got, want) {
		return want, nil
	}
	return edited, nil
}

// setFixedIn replaces the field's line, or puts one behind that of from or to. Whether the
// file then says what it should is for the caller to see.
func setFixedIn(data []byte, version string) ([]byte, bool) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 {
		return nil, false
	}
	fields := doc.Content[0]
	if fields.Kind != yaml.MappingNode || fields.Style&yaml.FlowStyle != 0 {
		return nil, false
	}
	lines := strings.SplitAfter(string(data), "\n")
	end := "\n"
	if strings.HasSuffix(lines[0], "\r\n") {
		end = "\r\n"
	}
	last := -1 // line of the field that the new one comes behind, from 0
	for i := 0; i+1 < len(fields.Content); i += 2 {
		key, value := fields.Content[i], fields.Content[i+1]
		at := value.Line - 1
		if at < 0 || at >= len(lines) {
			return nil, false
		}
		switch key.Value {
		case fixedInField:
			comment := ""
			if value.LineComment != "" {
				comment = " " + value.LineComment
			}
			lines[at] = strings.Repeat(" ", key.Column-1) + fixedInField + ": " + version + comment + end
			return []byte(strings.Join(lines, "")), true
		case "to", "from":
			last = max(last, at)
		}
	}
	if last < 0 {
		return nil, false
	}
	if !strings.HasSuffix(lines[last], "\n") {
		lines[last] += end
	}
	line := strings.Repeat(" ", fields.Column-1) + fixedInField + ": " + version + end
	return []byte(strings.Join(slices.Insert(lines, last+1, line), "")), true
}
