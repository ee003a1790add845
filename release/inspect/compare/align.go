package compare

// maxTable bounds the table that align fills, in cells of four bytes. Longer lists
// that differ in most of their elements are given as replaced whole.
const maxTable = 4 << 20

// step is one element of an alignment: kept (both), removed (only from) or added
// (only to). The index that does not apply is -1.
type step struct{ from, to int }

// align finds a longest common subsequence of two lists by the textbook's table,
// after what is common at both ends has been set aside.
func align[T comparable](from, to []T) []step {
	start := 0
	for start < len(from) && start < len(to) && from[start] == to[start] {
		start++
	}
	end := 0
	for end < len(from)-start && end < len(to)-start && from[len(from)-1-end] == to[len(to)-1-end] {
		end++
	}
	var steps []step
	for i := range start {
		steps = append(steps, step{i, i})
	}
	for _, s := range middle(from[start:len(from)-end], to[start:len(to)-end]) {
		if s.from >= 0 {
			s.from += start
		}
		if s.to >= 0 {
			s.to += start
		}
		steps = append(steps, s)
	}
	for i := end; i > 0; i-- {
		steps = append(steps, step{len(from) - i, len(to) - i})
	}
	return steps
}

func middle[T comparable](from, to []T) []step {
	var steps []step
	if len(from) == 0 || len(to) == 0 || len(from) > maxTable/len(to) {
		for i := range from {
			steps = append(steps, step{i, -1})
		}
		for i := range to {
			steps = append(steps, step{-1, i})
		}
		return steps
	}
	// common[i][j] is the length for from[i:] and to[j:].
	width := len(to) + 1
	common := make([]int32, (len(from)+1)*width)
	for i := len(from) - 1; i >= 0; i-- {
		for j := len(to) - 1; j >= 0; j-- {
			if from[i] == to[j] {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(from) || j < len(to) {
		switch {
		case i < len(from) && j < len(to) && from[i] == to[j]:
			steps = append(steps, step{i, j})
			i, j = i+1, j+1
		case j == len(to) || (i < len(from) && common[(i+1)*width+j] >= common[i*width+j+1]):
			steps = append(steps, step{i, -1})
			i++
		default:
			steps = append(steps, step{-1, j})
			j++
		}
	}
	return steps
}
