/* Letters as strokes, for the text of pictures if there is no TrueType font; the bytes are the same on every system.
 * Not part of the library. */
#ifndef SWALE_EXAMPLES_STROKE_FONT_H
#define SWALE_EXAMPLES_STROKE_FONT_H

#include <stddef.h>

/* The points of an ASCII letter as pairs of digits xy; blanks separate strokes. The base line is y = 3, the top of the
 * capitals y = 9. A letter that is not in the table is a box. */
static inline const char *stroke_glyph(char c) {
    static const char *const glyph[128] = {['a'] = "4743 4637170604133344",
                                           ['b'] = "0903 0617374644331304",
                                           ['c'] = "4637170604133344",
                                           ['d'] = "4943 4637170604133344",
                                           ['e'] = "05454637170604133344",
                                           ['f'] = "39291813 0737",
                                           ['g'] = "4741301001 4637170604133344",
                                           ['h'] = "0903 0617374643",
                                           ['i'] = "0703 0909",
                                           ['j'] = "171100 1919",
                                           ['k'] = "0903 3704 1533",
                                           ['l'] = "0903",
                                           ['m'] = "0703 0617273633 3647576663",
                                           ['n'] = "0703 0617374643",
                                           ['o'] = "133344463717060413",
                                           ['p'] = "0700 0617374644331304",
                                           ['q'] = "4740 4637170604133344",
                                           ['r'] = "0703 061737",
                                           ['s'] = "46371706153544331304",
                                           ['t'] = "19142333 0737",
                                           ['u'] = "0704133344 4743",
                                           ['v'] = "072347",
                                           ['w'] = "0713375367",
                                           ['x'] = "0743 0347",
                                           ['y'] = "0723 47231100",
                                           ['z'] = "07470343",
                                           ['A'] = "033963 1555",
                                           ['B'] = "03094958574606 4655544303",
                                           ['C'] = "5849190804134354",
                                           ['D'] = "03093957553303",
                                           ['E'] = "59090353 0646",
                                           ['F'] = "590903 0646",
                                           ['G'] = "58491908041343545636",
                                           ['H'] = "0903 5953 0656",
                                           ['I'] = "0903",
                                           ['J'] = "4944331304",
                                           ['K'] = "0903 4905 1643",
                                           ['L'] = "090343",
                                           ['M'] = "0309356963",
                                           ['N'] = "03095359",
                                           ['O'] = "194958544313040819",
                                           ['P'] = "03094958574606",
                                           ['Q'] = "194958544313040819 3553",
                                           ['R'] = "03094958574606 2653",
                                           ['S'] = "584919080716465554431304",
                                           ['T'] = "0969 3933",
                                           ['U'] = "090413435459",
                                           ['V'] = "093369",
                                           ['W'] = "0923374369",
                                           ['X'] = "0953 0359",
                                           ['Y'] = "093669 3633",
                                           ['Z'] = "09590353",
                                           ['0'] = "193948443313040819",
                                           ['1'] = "082923",
                                           ['2'] = "08193948470343",
                                           ['3'] = "08193948473616 364544331304",
                                           ['4'] = "33390545",
                                           ['5'] = "490906364544331304",
                                           ['6'] = "483919080413334445361605",
                                           ['7'] = "094913",
                                           ['8'] = "16070819394847361605041333444536",
                                           ['9'] = "041333444839190807163647",
                                           ['.'] = "0303",
                                           [','] = "1302",
                                           [':'] = "0606 0303",
                                           ['\''] = "0908",
                                           ['!'] = "0905 0303",
                                           ['?'] = "08193948472625 2323",
                                           ['-'] = "0636",
                                           ['+'] = "0646 2824",
                                           ['='] = "0747 0545",
                                           ['/'] = "0339",
                                           ['%'] = "6903 0929270709 4565634345",
                                           ['('] = "19080413",
                                           [')'] = "09181403",
                                           ['<'] = "480644",
                                           ['>'] = "084604",
                                           ['_'] = "0242",
                                           ['*'] = "0848 1739 3719",
                                           ['|'] = "0902",
                                           ['~'] = "06173546",
                                           [' '] = ""};
    const unsigned char at = (unsigned char)c;
    return at < 128 && glyph[at] ? glyph[at] : "0343490903"; /* a box */
}

/* The distance to the next letter, in units. */
static inline int stroke_advance(char c) {
    int most = c == ' ' ? 2 : 0;
    for (const char *s = stroke_glyph(c); *s; s += *s == ' ' ? 1 : 2)
        if (*s != ' ' && *s - '0' > most)
            most = *s - '0';
    return most + 2;
}

/* The letters that are drawn for a Unicode letter: ASCII letters, which may be raised or lowered and smaller, as
 * exponents and indices. */
typedef struct stroke_letter {
    unsigned letter;
    const char *ascii;
    double size, rise; /* relative to the height of a capital; 0 stands for size 1 */
} stroke_letter;

static inline stroke_letter stroke_replacement(unsigned letter) {
    static const stroke_letter all[] = {
        {0x2212, "-", 0, 0},       {0x2013, "-", 0, 0},       {0x2019, "'", 0, 0},        {0xd7, "x", 0, 0},
        {0xb7, "*", 0, 0},         {0xb1, "+-", 0, 0},        {0x2264, "<=", 0, 0},       {0x2265, ">=", 0, 0},
        {0x2016, "||", 0, 0},      {0x2207, "grad ", 0, 0},   {0x221a, "sqrt ", 0, 0},    {0xb5, "mu", 0, 0},
        {0x3b1, "alpha", 0, 0},    {0x3b2, "beta", 0, 0},     {0x3b3, "gamma", 0, 0},     {0x3b4, "delta", 0, 0},
        {0x3b5, "epsilon", 0, 0},  {0x3b7, "eta", 0, 0},      {0x3b8, "theta", 0, 0},     {0x3bb, "lambda", 0, 0},
        {0x3bc, "mu", 0, 0},       {0x3c1, "rho", 0, 0},      {0x3c3, "sigma", 0, 0},     {0x207b, "-", 0.65, 0.45},
        {0x2070, "0", 0.65, 0.45}, {0xb9, "1", 0.65, 0.45},   {0xb2, "2", 0.65, 0.45},    {0xb3, "3", 0.65, 0.45},
        {0x2074, "4", 0.65, 0.45}, {0x2075, "5", 0.65, 0.45}, {0x2076, "6", 0.65, 0.45},  {0x2077, "7", 0.65, 0.45},
        {0x2078, "8", 0.65, 0.45}, {0x2079, "9", 0.65, 0.45}, {0x2080, "0", 0.65, -0.25}, {0x2081, "1", 0.65, -0.25},
        {0x2082, "2", 0.65, -0.25}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].letter == letter)
            return all[i];
    return (stroke_letter){letter, "#", 0, 0}; /* a box */
}

#endif
